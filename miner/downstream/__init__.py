"""Networks judged on other tasks and data sets: fine-tuning on few labels, transfer -> eval/."""

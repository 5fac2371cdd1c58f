"""What a workspace holds, what each part was made from, whether it still fits the others, and which command comes next."""

"""`miner eval detect`: a network is trained further inside a Faster R-CNN, which finds objects on test photographs -> eval/."""

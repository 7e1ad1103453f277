"""What a command would cost before it starts: cells, time with a range and its reason, disk, and what fits a budget."""

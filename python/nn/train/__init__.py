"""Training: data, loss, optimizer, schedule and the loop."""

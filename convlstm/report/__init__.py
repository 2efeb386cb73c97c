"""What people look at: pictures of detections, plots of a training, one self-contained page."""

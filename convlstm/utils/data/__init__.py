"""From folders of frames and their manifest to training windows."""

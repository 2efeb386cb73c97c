"""From frames to heatmaps."""

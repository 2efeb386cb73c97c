"""ConvLSTM finds what really moves in video."""

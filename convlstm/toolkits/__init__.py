"""The tools that prepare data: each module's `run(config)` is one command of `convlstm data`."""

"""Each pinned Environment at work: tiny models made, converted and run by the very packages that are pinned.

A module is an Environment's name. Its task `work` runs there as a Job and returns versions. What it leaves in out/:

    NAME.onnx, NAME.npz    a conversion: x is the input, y what the framework itself answered
    NAME.npz alone         y is what the framework answered, expected what numpy says by hand
"""

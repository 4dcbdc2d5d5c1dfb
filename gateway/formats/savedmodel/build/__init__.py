"""ONNX -> TensorFlow, operator by operator. Runs in a child of Environment `tensorflow`.

    values.py   Value: one ONNX tensor while the graph is built, in whatever order of axes it is held
    node.py     Node: an operator with its attributes, and the version of its meaning
    graph.py    Builder: walks an ONNX graph, folds what is known, calls the function of each operator
    weights.py  which constants become tf.Variables, and under which names
    ops/        @op("tensorflow", "Conv"): one function an operator, a file a family

Rule 1: these files import tensorflow at their top: nothing outside a child imports them.
Rule 2: names of inputs and outputs are ONNX's; free dimensions stay free.
Rule 3: an operator without a function of its own is replaced by its definition in the ONNX
        standard where that has one; what is left is refused by name, all at once.
"""

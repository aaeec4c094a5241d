"""What is seen of an agent while it learns, apart from how it learns: nothing here changes a weight or draws a number.

`validation` walks the validation rows, `training` adds up what the training accounts do, `critic` holds values against
what came, `cockpit` writes it all to TensorBoard. `agents/callbacks.py` says when.
"""

"""What a pretrained model looks at: hours, features and groups of features, on validation rows.

Four views that can disagree, and are shown side by side for that reason: the weights the model itself gives to hours
and features (`attention.py`), how much worse it forecasts without a group (`importance.py`), and what each number adds
to what it says (`gradients.py`). `explanation.py` puts them together, `report.py` writes them down.
"""

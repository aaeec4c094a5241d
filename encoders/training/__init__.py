"""The parts of pretraining, each switched on by a setting: `encoders/pretrain.py` is the loop that they serve."""

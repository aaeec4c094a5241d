"""What a trained agent does, asked on the rows that chose its weights.

What it trades on (`ablation.py`), when it leaves its position alone (`band.py`), what it holds in which kind of market
(`regimes.py`), how much its growth owes to cheap and prompt orders (`sensitivity.py`), and how far it is from the best
that can be done (`best.py`). `diagnosis.py` puts them together, `report.py` writes them down. The test rows are cut off
before anything is asked.
"""

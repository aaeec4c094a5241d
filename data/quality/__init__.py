"""What is wrong with a table of real data: found by rules that hold for any table, and said in words and rows."""

from data.quality.checks import CHECKS, Check, check_table
from data.quality.finding import SEVERITIES, Finding, Severity, worst
from data.quality.report import report, save_report

__all__ = ["CHECKS", "SEVERITIES", "Check", "Finding", "Severity", "check_table", "report", "save_report", "worst"]

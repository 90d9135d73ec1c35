"""What people read: the table, the report, the verdicts as files, and TensorBoard's charts of a whole sweep.

Never here: statistics.
"""

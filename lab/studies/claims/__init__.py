"""What an experiment claims, and the verdict that its runs give: *supported*, *refuted* or *undecided*.

Never here: tables, figures, files.
"""

"""The doctor of data: what is wrong, doubtful or remarkable in a dataset or in somebody's copy of one.

`examine` reads sequence by sequence; `labels`, `joints` and `body` look at one sequence, `conventions`, `copies` and
`partitions` compare what was kept of all of them. Nothing is changed, nothing is stopped at: every check gives findings.
"""

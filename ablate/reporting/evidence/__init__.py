"""Tables of trials and arms, and what they show: effects, differences, intervals, costs.

Data frames in, data frames or values out.
"""

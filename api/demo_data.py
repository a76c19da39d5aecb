"""What the demo fits: a published data set, typed in, and a model of it.

Source: S. R. Dalal, E. B. Fowlkes, B. Hoadley, Risk analysis of the space shuttle,
Journal of the American Statistical Association 84 (1989), 945-957, table 1: the 23
flights before the last one of Challenger, by the temperature of the joints at launch.
"""

# (temperature in degrees Fahrenheit, 1 where a primary O-ring showed thermal distress)
FLIGHTS = (
    (66, 0), (70, 1), (69, 0), (68, 0), (67, 0), (72, 0), (73, 0), (70, 0), (57, 1),
    (63, 1), (70, 1), (78, 0), (67, 0), (53, 1), (67, 0), (75, 0), (70, 0), (81, 0),
    (76, 0), (79, 0), (75, 1), (76, 0), (58, 1),
)  # fmt: skip

# The published fit of the logistic model: intercept and slope, and standard errors.
ESTIMATES = (15.0429, -0.2322)
ERRORS = (7.3786, 0.1082)

MODEL = '''\
"""Did an O-ring suffer, given the temperature? Logistic regression."""

import numpy as np


def loss(w, t, y):
    """Return minus the log-likelihood: t degrees, y is 1 where there was distress."""
    z = w[0] + w[1] * t
    return np.sum(np.logaddexp(0.0, z) - y * z)
'''

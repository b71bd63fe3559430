"""What stands between one layer and the next: what a layer's h becomes before the next one reads it."""

from rnnlab.choices import Line, Table

BETWEEN = Table(
    "between",
    {
        "plain": Line("rnnlab.between.plain:Plain", "x' = h: a layer reads the h of the layer under it", "Graves 2013"),
        "residual": Line(
            "rnnlab.between.residual:Residual", "x' = x + h from the second layer on", "Kim 2017; Wu 2016 (GNMT)"
        ),
        "highway": Line(
            "rnnlab.between.highway:Highway",
            "x' = t h + (1 - t) x, t = sigmoid(W x + b), from the second layer on; b = -2",
            "Srivastava 2015; Zhang 2016",
        ),
    },
)

"""Recurrent cells: what is computed at one timestep, with torch's equations, names and gate order."""

from rnnlab.choices import Line, Table

CELLS = Table(
    "cell",
    {
        "rnn": Line("rnnlab.cells.rnn:RNN", "h' = phi(W_ih x + b_ih + W_hh h + b_hh)", "Elman 1990"),
        "lstm": Line("rnnlab.cells.lstm:LSTM", "gates i, f, g, o; c' = f c + i g, h' = o tanh(c')", "Gers 2000"),
        "gru": Line("rnnlab.cells.gru:GRU", "gates r, z, n; h' = (1 - z) n + z h, reset after product", "Cho 2014"),
    },
)

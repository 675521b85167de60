"""The composed picture as data: frames, strokes, legend, chart, and the one theme of colours and sizes."""

"""How a graph is run in less memory: schedules, and the graph rewritten for stock TFLM."""

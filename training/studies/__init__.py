"""Commands that answer a question once: a classic data set, baselines, whether the heatmap points at the cat."""

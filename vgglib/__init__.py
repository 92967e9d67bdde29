"""A reproduction of Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"."""

__version__ = "0.1.0"

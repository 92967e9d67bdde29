"""Timings of this project beside what people would use instead: `vgg bench`. One module is one suite."""

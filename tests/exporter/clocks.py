"""Time that stands until it is moved."""


class HandClock:
    def __init__(self, seconds=1_000.0):
        self.seconds = seconds

    def __call__(self):
        return self.seconds

    def forward(self, seconds):
        self.seconds += seconds

"""Who did what, and when: the trail that every operation joins before it is answered, and the questions put to it."""

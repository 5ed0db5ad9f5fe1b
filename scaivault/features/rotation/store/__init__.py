"""SQL of rotation policies, schedules and history. A function, a statement."""

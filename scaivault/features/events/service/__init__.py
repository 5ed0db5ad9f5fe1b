"""The use cases of events: keeping them, handing them out, and administering who gets them."""

"""One mail per customer and week about closed tickets: its plan, and its way out."""

"""Moving one file from a vendor's answer to its destination: in one stream, once, and proved."""

"""Objects in a folder or a bucket, behind one small surface."""

"""Networks and how they are trained, evaluated and exported. The only room that imports torch."""

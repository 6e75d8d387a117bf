"""What ran where: records of runs in SQL, made from journals."""

"""What the files of both CIs say, checked and executed."""

"""What every part of the report uses: the record of a run, cells, sections, words and drawing style."""

"""Texts of tasks and of SWOP profiles: YAML to typed values and back to the printed body, without any I/O.

``reading`` and ``profile`` read files, ``layout`` prints a body as ``GET TASK BODY`` does and reads it back,
``schema`` makes the JSON Schemas. What a user may write stands in the tables ``taskfields`` and ``profilefields``;
both the readers and the schemas are made from these. How a file reaches a chain is not known here.
"""

-- Under which key an operator's words were said, so that they are said once. Older code goes on beside it.
ALTER TABLE messages ADD COLUMN said_as text;

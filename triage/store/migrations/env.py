"""The Alembic environment: runs the steps on the connection that `migrate` passes.

It opens no database, and neither begins nor ends a transaction.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()

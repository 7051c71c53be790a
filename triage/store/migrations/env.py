"""What Alembic runs to run the steps: on the connection that it was given, and on nothing else.

Rule: no database is opened here, and no transaction begun or ended.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()

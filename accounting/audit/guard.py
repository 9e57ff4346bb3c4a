"""Triggers that keep the database itself from changing or deleting an audit entry.

They stop mistakes and whoever only has the gateway's own statements. An owner of the database can take them away; then
``manage.py verify_audit`` says that they are gone, and the chain tells what was done. On SQLite they go with a table that
a migration makes anew: such a migration must install them again (a test holds that they are there after all migrations).
"""

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "accounting_auditentry"
REFUSAL = "Audit entries cannot be changed or deleted."
SQLITE = {
    f"{TABLE}_keep_{event.lower()}": (
        f"CREATE TRIGGER IF NOT EXISTS {TABLE}_keep_{event.lower()} BEFORE {event} ON {TABLE} "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    )
    for event in ("UPDATE", "DELETE")
}
FUNCTION = (
    f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
)
POSTGRESQL = {
    f"{TABLE}_keep_rows": (
        f"CREATE OR REPLACE TRIGGER {TABLE}_keep_rows BEFORE UPDATE OR DELETE ON {TABLE} "
        f"FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()"
    ),
    f"{TABLE}_keep_all": (
        f"CREATE OR REPLACE TRIGGER {TABLE}_keep_all BEFORE TRUNCATE ON {TABLE} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()"
    ),
}


def _triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    return POSTGRESQL if connection.vendor == "postgresql" else SQLITE


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers there; those that are there stay."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(FUNCTION)
        for statement in _triggers(connection).values():
            cursor.execute(statement)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take them away: when the table goes, and for tests that empty it."""
    on_table = f" ON {TABLE}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for name in _triggers(connection):
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on_table}")
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP FUNCTION IF EXISTS {TABLE}_refuse()")


def is_installed(connection: BaseDatabaseWrapper) -> bool:
    """Whether all of them are there and switched on."""
    known = (
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled <> 'D'"
        if connection.vendor == "postgresql"
        else "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(known, [TABLE])
        found = {name for (name,) in cursor.fetchall()}
    return set(_triggers(connection)) <= found

"""Storage classes that pynetdicom does not know: negotiated and served on one association."""

from typing import Any

from pynetdicom import build_context, evt
from pynetdicom.association import Association

from triage.dimse.pynetdicom_internals import is_storage, serve_as_storage
from triage.dimse.storage_classes import AcceptedClasses, may_be_storage_class
from triage.dimse.transfer_syntaxes import STORAGE_SYNTAXES


def offer_classes(association: Association, accepted: AcceptedClasses) -> None:
    """Support the unlisted classes that an admitted request proposes and the site accepts."""
    if not accepted.is_any:
        return
    request: Any = association.requestor.primitive
    proposed = [str(each.abstract_syntax) for each in request.presentation_context_definition_list]
    if unlisted := accepted.find_unlisted(proposed):
        supported = association.acceptor.supported_contexts
        more = [build_context(uid, STORAGE_SYNTAXES) for uid in unlisted]
        association.acceptor.supported_contexts = [*supported, *more]


def serve_unlisted(event: evt.Event) -> None:
    """Serve every accepted storage class that pynetdicom does not know."""
    association = event.assoc
    accepted = [str(each.abstract_syntax) for each in association.accepted_contexts]
    unknown = [uid for uid in accepted if not is_storage(association, uid)]
    serve_as_storage(association, [uid for uid in unknown if may_be_storage_class(uid)])


#: Event handler for a server whose contexts have classes that pynetdicom does not know.
SERVE_UNLISTED = (evt.EVT_ACCEPTED, serve_unlisted)

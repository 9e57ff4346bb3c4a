"""placeholder while the module is being written."""
from conversion.dialects import Dialect
from conversion.traits import ChatTraits
from routing.providers.kind import ProviderKind
KIND = ProviderKind(name="demo", label="Demo", dialect=Dialect.OPENAI_CHAT, base_url="", path="", credential_headers=lambda s: (), traits=lambda m: ChatTraits(model=m), read_error=lambda a,b,c: Exception(), answer_in_process=lambda b: None)

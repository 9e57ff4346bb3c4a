"""Sign-in by OpenID Connect: the code flow with PKCE, and an ID token whose signature is checked in any case.

django-allauth leaves the signature out, because the token comes from the provider itself over TLS, which the standard
allows. Checking it costs one request, and holds also where the connection does not.
"""

from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import Http404, HttpRequest, HttpResponse, QueryDict

from llmgateway.sign_in.pages import refused

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""With a public key. Under HS256 whoever knows the public key could sign."""
CLOCKS_APART_S = 60
NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
AWAY = "The identity provider does not answer as it should. Try again later, or sign in with a password."


class Adapter(OpenIDConnectOAuth2Adapter):
    """Trusts an ID token as far as its signature, issuer, audience, times and subject hold."""

    @property
    def openid_config(self) -> dict[str, Any]:
        """What the provider says of itself; it must say that it is who it was taken for."""
        found: dict[str, Any] = super().openid_config
        if not isinstance(found, dict) or any(not found.get(name) for name in NEEDED):
            raise OAuth2Error("the provider's openid-configuration is not whole")
        issuer = self.get_provider().app.settings["issuer"]
        if str(found["issuer"]).rstrip("/") != issuer.rstrip("/"):
            raise OAuth2Error(f"the provider says that its issuer is {found['issuer']}")
        return found

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Who signs in. The user-info page may say more of the same subject, and of no other."""
        text = kwargs["response"].get("id_token")
        if not isinstance(text, str):
            raise OAuth2Error("the provider sent no ID token")
        data = {"id_token": self._decode_id_token(app, text)}
        if self.openid_config.get("userinfo_endpoint"):
            userinfo = self._fetch_user_info(token.token)
            if not isinstance(userinfo, dict) or userinfo.get("sub") != data["id_token"]["sub"]:
                raise OAuth2Error("the user-info page is about another subject")
            data["userinfo"] = userinfo
        for part in data.values():  # some providers write "false", which is not false
            part["email_verified"] = part.get("email_verified") in (True, "true")
        return self.get_provider().sociallogin_from_response(request, data)

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        with get_adapter().get_requests_session() as session:
            response = session.get(self.openid_config["jwks_uri"])
            response.raise_for_status()
            keys = response.json()
        return verified(
            id_token, keys=keys, issuer=self.openid_config["issuer"], audience=app.client_id
        )


def verified(id_token: str, *, keys: dict[str, Any], issuer: str, audience: str) -> dict[str, Any]:
    """What the token says.

    Raises:
        OAuth2Error: it is not the provider's, not for us, or not of now.
    """
    try:
        header = jwt.get_unverified_header(id_token)
        if header.get("alg") not in ALGORITHMS:
            raise OAuth2Error(f"the ID token is signed by {header.get('alg')}")
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key=_key_of(keys, header.get("kid")),
            algorithms=[header["alg"]],
            issuer=issuer,
            audience=audience,
            leeway=CLOCKS_APART_S,
            options={"require": ["iss", "aud", "exp", "iat", "sub"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise OAuth2Error(f"the ID token does not hold: {error}") from error
    if claims.get("azp", audience) != audience or not isinstance(claims["sub"], str):
        raise OAuth2Error("the ID token is for another client")
    return claims


def _key_of(keys: dict[str, Any], kid: str | None) -> Any:
    found = [key for key in jwt.PyJWKSet.from_dict(keys).keys if kid is None or key.key_id == kid]
    if len(found) != 1:
        raise jwt.InvalidKeyError("the provider shows no such key")
    return found[0].key


class _Login(OAuth2LoginView):
    """Looks first whether the provider is who it was taken for: later the browser would be there already."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _ = self.adapter.openid_config
        return super().dispatch(request, *args, **kwargs)  # type: ignore[no-any-return]


def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """GET /usage/sign-in/oidc/: on to the provider. Nothing but where to come back to is taken from the address."""
    kept = QueryDict(mutable=True)
    if request.GET.get("next"):
        kept["next"] = request.GET["next"]
    request.GET = kept  # type: ignore[assignment]
    return _guarded(_Login, request, provider_id)


def come_back(request: HttpRequest, provider_id: str) -> HttpResponse:
    """GET /usage/sign-in/oidc/callback/: from the provider, with a code."""
    return _guarded(OAuth2CallbackView, request, provider_id)


def _guarded(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        return view.adapter_view(Adapter(request, provider_id))(request)  # type: ignore[no-any-return]
    except SocialApp.DoesNotExist:
        raise Http404("No identity provider is set up.") from None
    except (OSError, OAuth2Error, ValueError):  # requests' own errors are OSErrors
        return refused(request, AWAY, status=502)

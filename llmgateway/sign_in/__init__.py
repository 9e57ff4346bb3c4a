"""How people sign in: by password, by an identity provider, with a second factor; built on django-allauth.

Nothing here is on the way of a request for a model: ``/v1/`` has no sessions.
"""

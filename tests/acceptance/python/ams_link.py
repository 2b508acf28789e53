"""How our clients made with `argo-ams-library` reach the test server, whose two services have ports of their own."""

from argo_ams_library import ArgoMessagingService


def connect(host, api, authn, certificate, key, project):
    """A client with the token that `authn` gives for the certificate."""
    client = ArgoMessagingService(
        endpoint=host,
        project=project,
        cert=certificate,
        key=key,
        authn_port=int(authn),
    )
    # The library has no setting for the API's port, and its address for the token takes no other.
    client.endpoint = "%s:%s" % (host, api)
    return client

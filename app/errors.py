"""Every error that Catscope itself raises, in one tree, with the HTTP status that each one answers.

    CatscopeError
    ├── RequestError                 what a client sent cannot be answered
    │   ├── BadRequest         400   not an HTTP request
    │   ├── Unauthorized       401   API keys are configured and none of them was sent
    │   ├── Forbidden          403   another site's page asks to teach, to correct or to delete
    │   ├── NotFound           404   no such network, no such stage in a path, no such path
    │   ├── MethodNotAllowed   405   the path exists, but not for this method
    │   ├── TooSlow            408   the request did not arrive in time
    │   ├── TooLarge           413   more bytes or more pixels than the settings allow
    │   ├── UnsupportedImage   415   not an image format that is read
    │   ├── UnsupportedCoding  415   a compressed request body
    │   ├── InvalidRequest     422   a missing part, a parameter out of range
    │   │   └── BrokenImage    422   an image format that is read, but this file is broken
    │   ├── RateLimited        429   too many requests from one client; carries `retry_after`
    │   ├── HeadTooLarge       431   a request's first line and headers that are too long
    │   ├── ClientLeft         499   the client has closed the connection; nobody reads this answer
    │   ├── Overloaded         503   not ready, or too many requests waiting; carries `retry_after`
    │   ├── StoreUnavailable   503   what people teach or correct cannot be kept now: the store is full or out of reach
    │   ├── DeadlineExceeded   504   waited longer than the deadline setting
    │   └── Unforeseen         500   a bug in Catscope, never the client's fault
    └── NetworkError                 a folder under model/ cannot be served; stops the start, or the reload

Each `RequestError` becomes one RFC 9457 problem: `type` is a name within Catscope's documentation, `title` the class of
problem, `detail` a sentence that says what was received and what is accepted.
"""


class CatscopeError(Exception):
    """Base of all errors that Catscope raises on purpose. `str(error)` is a sentence for the person who caused it."""


class RequestError(CatscopeError):
    """A request that cannot be answered; `status` is its HTTP status code and `retry_after` is in seconds or None. One that
    is `settled` stays as it is, whatever options the request's form holds: its form need not be read.
    """

    status = 400
    title = "The request cannot be answered"
    retry_after: int | None = None
    settled = False


class BadRequest(RequestError):
    """The bytes are not an HTTP request."""

    title = "Not an HTTP request"


class Unauthorized(RequestError):
    """No valid API key came with the request."""

    status = 401
    title = "An API key is needed"


class Forbidden(RequestError):
    """A page of another site, which the settings do not name, asks to change what is kept."""

    status = 403
    title = "Not from another site's page"


class NotFound(RequestError):
    """The network, the stage or the path does not exist."""

    status = 404
    title = "Not found"

    def __init__(self, detail: str, settled: bool = False) -> None:
        super().__init__(detail)
        self.settled = settled


class MethodNotAllowed(RequestError):
    """The path exists, but answers other methods than the one that was used."""

    status = 405
    title = "This path answers other methods"


class TooSlow(RequestError):
    """The request's head or body did not arrive in time."""

    status = 408
    title = "Too slow"


class TooLarge(RequestError):
    """More bytes or more pixels than the settings allow."""

    status = 413
    title = "Too large"


class UnsupportedImage(RequestError):
    """The bytes are not in an image format that is read."""

    status = 415
    title = "Not an image format that is read"


class UnsupportedCoding(RequestError):
    """The request's body is compressed; the answer says that none of the codings is accepted."""

    status = 415
    title = "A content coding that is not taken"


class InvalidRequest(RequestError):
    """A part is missing, or a parameter is out of range."""

    status = 422
    title = "The request is not valid"


class BrokenImage(InvalidRequest):
    """The bytes begin like an image that is read, but cannot be decoded to the end."""

    title = "The image is broken"


class RateLimited(RequestError):
    """One client sent more requests than the settings allow; `retry_after` says when the next one is answered."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class HeadTooLarge(RequestError):
    """The request's first line and headers exceed their limit."""

    status = 431
    title = "The request's head is too large"


class ClientLeft(RequestError):
    """The client closed the connection before its turn came. The status is nginx's; only the log and the metrics see it."""

    status = 499
    title = "The client has left"


class Overloaded(RequestError):
    """The service is not `ready` yet, or more requests are waiting than the settings allow.

    A proxy may at once ask another replica for what one that is not ready did not answer; where replicas are busy, asking
    others would add to their load.
    """

    status = 503
    title = "Not now"

    def __init__(self, detail: str, retry_after: int = 1, ready: bool = True) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.ready = ready


class StoreUnavailable(RequestError):
    """What people teach and correct cannot be kept or read now: the store is full, read-only or out of reach. Its cause is
    the storage's own error.
    """

    status = 503
    title = "The store cannot be used now"
    retry_after = 30


class DeadlineExceeded(RequestError):
    """The request waited longer than the deadline setting."""

    status = 504
    title = "The deadline has passed"


class Unforeseen(RequestError):
    """A bug in Catscope. Its cause goes to the log, not into the answer."""

    status = 500
    title = "Something went wrong here"


class NetworkError(CatscopeError):
    """A network's folder is missing a file, or a file does not match its contract."""

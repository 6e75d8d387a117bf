"""sshexec as a library in a patched process."""

from gevent import monkey

monkey.patch_all()

from sshexec_worker import main  # noqa: E402

if __name__ == "__main__":
    main()

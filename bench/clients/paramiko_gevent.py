"""The same as `paramiko_threads`, its threads being greenlets."""

from gevent import monkey

monkey.patch_all()

from paramiko_threads import main  # noqa: E402

if __name__ == "__main__":
    main()

"""What the tests of several folders set their scenes with: servers, proxies, mirrors, declared tables."""

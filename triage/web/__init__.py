"""Past cases over HTTP: a JSON interface for programs and a page for people.

    GET /                       the page: search, and look up a case key from a report
    GET /case                   the page with the case of a key
    GET /api/cases              search
    GET /api/cases/{study_uid}  one case
    GET /api/case-keys/{key}    the case of a key from a report

Every request needs a user's name and password, and every access to a case is logged
(`cases.case_access`).
"""
